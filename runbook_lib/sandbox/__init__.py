"""The rehearsal cloud: Entra sign-in, Microsoft Graph and SpaceIQ on loopback, with made-up tenants.

It answers as Microsoft's services do, over real TLS, so that the runbook runs against it unchanged. Nothing else in
the library imports it but the command.
"""
