"""Fills an empty shop with made-up products, reviews and carts: the same ones each time."""
import random

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.text import slugify

from shop.models import Cart, CartLine, Category, Product, Review

CATEGORIES = ["Kitchen", "Garden", "Workshop", "Stationery", "Lighting", "Travel"]
QUALITIES = ["Small", "Large", "Folding", "Quiet", "Sturdy", "Light", "Blue", "Copper", "Walnut", "Plain"]
THINGS = ["Kettle", "Trowel", "Plane", "Notebook", "Lantern", "Trunk", "Clamp", "Ladle", "Pencil", "Lamp"]
WORDS = """made from one piece of steel with a handle that stays cool easy to clean and hard to lose comes with a
spare part and a short manual fits every common size holds more than it seems works without batteries for many years
best kept dry may be used outdoors not a toy""".split()
COUNTRIES = ["DE", "FR", "GB", "NL", "XX"]


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("--products", type=int, default=300)
        parser.add_argument("--carts", type=int, default=50)

    @transaction.atomic
    def handle(self, *args, products, carts, **options):
        if Product.objects.exists():
            raise CommandError("There are products already.")
        chance = random.Random(1)
        categories = [Category.objects.create(name=name, slug=slugify(name)) for name in CATEGORIES]
        Product.objects.bulk_create(self.product(chance, categories, number) for number in range(1, products + 1))
        everything = list(Product.objects.all())
        Review.objects.bulk_create(
            Review(product=product, author=f"Reader {i}", stars=chance.randint(1, 5), text=self.text(chance, 20))
            for product in everything for i in range(chance.randint(0, 6)))
        for number in range(1, carts + 1):
            cart = Cart.objects.create(number=number, country=chance.choice(COUNTRIES))
            CartLine.objects.bulk_create(
                CartLine(cart=cart, product=product, quantity=chance.choice([1, 2, 6, 25, 60]))
                for product in chance.sample(everything, chance.randint(1, 12)))
        self.stdout.write(f"{products} products in {len(categories)} categories, {carts} carts")

    def product(self, chance, categories, number):
        name = f"{chance.choice(QUALITIES)} {chance.choice(THINGS)} No. {number}"
        return Product(category=chance.choice(categories), name=name, slug=slugify(name),
                       description=self.text(chance, 40), cents=chance.randint(99, 19900),
                       discount_percent=chance.choice([0, 0, 0, 10, 25]), stock=chance.randint(0, 40))

    def text(self, chance, words):
        return " ".join(chance.choice(WORDS) for _ in range(words)).capitalize() + "."
