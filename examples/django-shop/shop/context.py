"""What every page shows beside its own content."""
from django.db.models import Count, Q

from .models import Category


def navigation(request):
    """The categories with the number of products in each, the current one marked."""
    categories = Category.objects.annotate(available=Count("products", filter=Q(products__stock__gt=0)))
    return {"navigation": [(category, category.get_absolute_url() == request.path) for category in categories]}
