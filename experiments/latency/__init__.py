"""How long alerts, answers and single stages take."""
