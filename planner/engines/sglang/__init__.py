"""SGLang: a state pool and a KV pool inside a static share, by the engine's own rules."""
