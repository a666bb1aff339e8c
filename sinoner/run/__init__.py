"""The machine of a run: stages as data, their sequence, the manifest, the screen and the run folder."""
