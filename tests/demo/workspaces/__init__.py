"""A package: what its fixtures make of the platform is undone before the tests elsewhere go on."""
