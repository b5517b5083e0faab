"""The HTTP interface: routes, middleware, access, request bodies, answers, the status page."""
