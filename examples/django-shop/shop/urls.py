from django.urls import path

from . import views

urlpatterns = [
    path("", views.product_list, name="list"),
    path("category/<slug:slug>/", views.product_list, name="category"),
    path("product/<slug:slug>/", views.ProductPage.as_view(), name="product"),
    path("cart/<int:number>/", views.cart_total, name="cart"),
    path("search/", views.search, name="search"),
]
