"""The worker of the pipelines of forge `lite`."""
