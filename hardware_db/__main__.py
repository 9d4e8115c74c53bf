"""Write the compiled form of the database: `python -m hardware_db`."""

from hardware_db import compiled

compiled.write()
