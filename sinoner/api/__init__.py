"""The functions of the Python interface: keyword options in, the stages of the package behind them.

Users import them from ``sinoner``; this room is internal.
"""
