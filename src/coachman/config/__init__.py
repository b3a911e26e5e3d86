"""What can be configured: the model, and the table of settings that it is made from."""
