"""
The graph of goals around a job: what it waits for, and what waits for it.

`reading` collects it, `critical` finds the longest way through it, `layout` gives places in layers, `svg` and `text`
draw.
"""
