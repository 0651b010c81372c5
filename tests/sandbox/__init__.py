"""Tests of the sandbox cloud."""
