"""The live loops, one class per thread. `engine.app.live` starts and supervises them."""
