"""The HTTP surface: routes, middleware, access, request bodies, answers, the status page."""
