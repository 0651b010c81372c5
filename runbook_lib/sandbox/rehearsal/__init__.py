"""The pages that people see: SpaceIQ's settings, the mail, Cronofy."""
