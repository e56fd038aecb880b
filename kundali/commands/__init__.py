"""The command line's commands, one module each.

A command is a module with ``NAME``, ``HELP``, ``add_arguments(parser)`` and
``run(arguments) -> Answer``; ``kundali/__main__.py`` lists the modules. ``arguments.language`` is
``en`` or ``ne``. Errors that people cause are raised as `kundali.commands.answer.Refused`, or as
the package's own `ValueError` classes, whose message is then shown.
"""
