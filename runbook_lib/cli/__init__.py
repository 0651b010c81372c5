"""The command `runbook`: one command, one file; what they print."""
