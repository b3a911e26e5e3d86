"""The ASGI engine: an asyncio loop with uvicorn's protocol classes on connections that are ours."""
