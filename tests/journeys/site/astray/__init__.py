"""A database backend that sets for Django alone what the engine cannot know of."""
