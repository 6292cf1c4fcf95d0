"""Example cases in the forms members really send, and the generator that makes and scales them."""
