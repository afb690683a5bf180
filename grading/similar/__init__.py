"""Where two students' notebooks say the same in other words: places for a person to look at, never a verdict."""
