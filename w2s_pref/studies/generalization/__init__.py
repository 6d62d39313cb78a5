"""The weak-to-strong generalization laboratory: tasks × chains × methods × seeds as stages of the one pipeline."""
