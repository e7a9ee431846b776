"""
How the engine opens the project's database by itself, with the same meaning as in DATABASES.

It is asked of the connection that Django has opened: the driver's library, libpq, has read the environment, the service
file and the pass file by then, and says what all of them together came to. What the engine cannot do as libpq does is
refused by name; docs/operating/connecting.md has the table.
"""
