"""Why a start failed: the value, what to try, and how it is shown."""
