"""What a person asks for by a command: importing archives and the like. One function a command, no printing."""
