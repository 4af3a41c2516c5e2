"""The demo: a project made by copier, deployed on this machine, the example pushed and awaited."""
