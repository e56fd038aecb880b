"""Payment gateways: each module translates between one provider and the port of the domain."""
