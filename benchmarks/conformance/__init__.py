"""Ask the engines' own code on configurations drawn at random, and compare with the planner."""
