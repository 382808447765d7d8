"""The trading engine: a pure core (`engine.core`) and a thin asyncio shell around it."""
