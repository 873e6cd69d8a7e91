"""Sound devices: the voice, audio sinks, microphones, wake word engines and the recogniser."""
