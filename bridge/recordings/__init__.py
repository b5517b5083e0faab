"""Records conversations as cases, redacts them and replays them."""
