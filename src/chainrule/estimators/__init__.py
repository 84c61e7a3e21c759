"""Floor 4, estimators: what scikit-learn asks for."""
