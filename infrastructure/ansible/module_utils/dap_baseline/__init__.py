"""What a host is made to be beside the platform: parts that can be switched on and off."""
