"""The dialects of the OpenAI API, one module for each direction of each. All of them are pure."""
