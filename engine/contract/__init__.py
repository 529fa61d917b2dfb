"""The words both sides speak: config, events, commands, state. Pure data, no torch, no I/O.

`config` and `toml` hold what a run is asked; `events` and `commands` what is said while it runs;
`order` what may follow what; `state` what it all amounts to; `plan` and `tree` what trains.
"""
