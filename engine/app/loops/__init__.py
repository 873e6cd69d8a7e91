"""The live loops: one class for each thread. `engine.app.live` starts them and watches them."""
