"""What is for sale, and what is in the carts. Money is in cents."""
from django.db import models
from django.db.models import Q
from django.urls import reverse

from .pricing import format_money, price_after_discount


class Category(models.Model):
    name = models.CharField(max_length=60)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("category", args=[self.slug])


class ProductQuerySet(models.QuerySet):
    def available(self):
        return self.filter(stock__gt=0).select_related("category")

    def containing(self, words):
        """Products in whose name or description every word occurs."""
        condition = Q()
        for word in words:
            condition &= Q(name__icontains=word) | Q(description__icontains=word)
        return self.filter(condition)


class Product(models.Model):
    category = models.ForeignKey(Category, related_name="products", on_delete=models.CASCADE)
    name = models.CharField(max_length=120)
    slug = models.SlugField(unique=True)
    description = models.TextField()
    cents = models.PositiveIntegerField()
    discount_percent = models.PositiveSmallIntegerField(default=0)
    stock = models.PositiveIntegerField(default=0)

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("product", args=[self.slug])

    @property
    def price(self):
        """In cents, for one piece."""
        return price_after_discount(self.cents, self.discount_percent)

    def price_label(self):
        return format_money(self.price)


class Review(models.Model):
    product = models.ForeignKey(Product, related_name="reviews", on_delete=models.CASCADE)
    author = models.CharField(max_length=60)
    stars = models.PositiveSmallIntegerField()
    text = models.TextField()


class Cart(models.Model):
    number = models.PositiveIntegerField(unique=True)
    country = models.CharField(max_length=2)


class CartLine(models.Model):
    cart = models.ForeignKey(Cart, related_name="lines", on_delete=models.CASCADE)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    quantity = models.PositiveIntegerField()
