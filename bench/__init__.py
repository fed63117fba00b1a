"""Pinyon beside every incumbent, on the same work in the same run: ``python -m bench`` from the root of the repository.

`sections` says what is measured, `peers` who takes part, `targets` what Pinyon promises. `turns` starts one process for each
peer and gives them turns; `worker` is such a process, and `one_thread`, `mix`, `tasks`, `making`, `memory_use` and `hit_ratio`
are the works that it knows. `pages` measures a site over HTTP. `tables`, `plots` and `performance_page` show the results.
"""
