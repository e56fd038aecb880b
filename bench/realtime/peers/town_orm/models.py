"""People, sign-ins, rooms and messages, with the constraints that the product's database has."""

from __future__ import annotations

from django.db import models


class Person(models.Model):
    """A user."""

    id = models.CharField(primary_key=True, max_length=24)
    role = models.CharField(max_length=16)
    full_name = models.CharField(max_length=200)


class SignIn(models.Model):
    """Somebody is signed in."""

    id = models.CharField(primary_key=True, max_length=24)
    person = models.ForeignKey(Person, models.CASCADE)


class Room(models.Model):
    """A room of two."""

    id = models.CharField(primary_key=True, max_length=24)
    customer = models.ForeignKey(Person, models.CASCADE, related_name="+")
    pandit = models.ForeignKey(Person, models.CASCADE, related_name="+")


class Message(models.Model):
    """A message; its number is unique in the room, and so is the sender's own id for it."""

    id = models.CharField(primary_key=True, max_length=24)
    room = models.ForeignKey(Room, models.CASCADE, db_index=False)
    sequence = models.BigIntegerField()
    sender = models.ForeignKey(Person, models.CASCADE, db_index=False)
    sender_role = models.CharField(max_length=16)
    sender_name = models.CharField(max_length=200)
    cid = models.CharField(max_length=36)
    message_type = models.CharField(max_length=8)
    content = models.TextField()
    content_ne = models.TextField()
    attachment = models.JSONField(null=True)
    reply_to = models.CharField(max_length=24, null=True)
    timestamp = models.DateTimeField()
    read_at = models.DateTimeField(null=True)

    class Meta:
        """One index for reading in order, one for sending again."""

        constraints = (
            models.UniqueConstraint(fields=["room", "sequence"], name="one_number"),
            models.UniqueConstraint(fields=["room", "sender", "cid"], name="one_cid"),
        )
