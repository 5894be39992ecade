"""The main job on real servers, for a first look; and those servers, for the tests."""
