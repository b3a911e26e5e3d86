"""An application's process as the supervisor has it: started, negotiated with, heard, ended."""
