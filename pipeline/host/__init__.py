"""What every program does on its machine: whole files, secrets that never print, documents read safely, free ports."""
