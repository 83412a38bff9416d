"""`frontdesk certify`: whether a Rasa project does here what it does in real Rasa, turn by turn.

Both engines are trained on the project and hear the same. What a text means is compared for itself; the dialogue is
then compared as if both had understood what Rasa understood, so that one word does not blur ten turns.
"""
