"""How sites come together: cards, the provider's invitations, and what a member checks before it joins."""
