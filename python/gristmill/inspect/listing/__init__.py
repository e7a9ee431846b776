"""Lists of jobs, page by page, however many there are: what is searched for, in which order, and how far was looked."""
