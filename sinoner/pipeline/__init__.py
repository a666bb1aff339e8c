"""Opens files, wires stages, keeps the manifest, shows progress."""
