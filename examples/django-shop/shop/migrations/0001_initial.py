"""The tables, as `manage.py makemigrations` derives them from models.py."""
import django.db.models.deletion
from django.db import migrations, models


def fields(**named):
    return [("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            *named.items()]


def belongs_to(model, related_name=None):
    return models.ForeignKey(to=model, related_name=related_name, on_delete=django.db.models.deletion.CASCADE)


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Category", fields(
            name=models.CharField(max_length=60),
            slug=models.SlugField(unique=True),
        ), options={"ordering": ["name"]}),
        migrations.CreateModel("Product", fields(
            name=models.CharField(max_length=120),
            slug=models.SlugField(unique=True),
            description=models.TextField(),
            cents=models.PositiveIntegerField(),
            discount_percent=models.PositiveSmallIntegerField(default=0),
            stock=models.PositiveIntegerField(default=0),
            category=belongs_to("shop.category", "products"),
        ), options={"ordering": ["name"]}),
        migrations.CreateModel("Review", fields(
            author=models.CharField(max_length=60),
            stars=models.PositiveSmallIntegerField(),
            text=models.TextField(),
            product=belongs_to("shop.product", "reviews"),
        )),
        migrations.CreateModel("Cart", fields(
            number=models.PositiveIntegerField(unique=True),
            country=models.CharField(max_length=2),
        )),
        migrations.CreateModel("CartLine", fields(
            quantity=models.PositiveIntegerField(),
            cart=belongs_to("shop.cart", "lines"),
            product=belongs_to("shop.product"),
        )),
    ]
