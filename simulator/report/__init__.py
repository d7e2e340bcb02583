"""What people see of a result: a terminal table, a one-page HTML report, a trace for Perfetto.

`tables.simulation_table`, `html.write_report` and `trace.write_trace` are the doors. Everything reads a Result and its
Timeline and changes nothing; numbers become text in `format.py`, kinds become colours in `palette.py`. plotly and
jinja2 are imported only once a report is asked for.
"""
