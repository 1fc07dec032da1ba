"""How far can an embedding table shrink? Online embedding compression, measured."""
