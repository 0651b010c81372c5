"""Graph's directory: principals, grants, policies, audit."""
